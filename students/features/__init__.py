"""With what images are looked at.

==============================  ====================================================================
`discriminators`                heads on features, frozen or learning with them
`sources`                       whose features: the teacher's, `imagenet_network`'s, `dino`'s
`distances`, `lpips`            between two images
==============================  ====================================================================
"""

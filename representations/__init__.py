"""Differentiable images of parameters. Nothing here knows of diffusion.

What all share:

===================  ===============================================================================
`cameras`, `rays`    where is looked from, and along what
`rendering`, `solid` what is seen of a representation, and what it can be asked for at the end
`shading`            light on images of colours and normals
`two_pass`           memory that does not grow with the image
`particles`          several representations at once
`threads`            how many of them; `compilation`: how kernels are compiled
===================  ===============================================================================

And its wings, none of which knows another, except that all may use `geometry`:

===================  ===============================================================================
`geometry/`          meshes and grids as numbers: topology, distances, which way is out, what a pixel sees
`fields/`            radiance fields: what is where, and the light along rays through it
`surfaces/`          meshes that learn: from silhouettes and shading, by a grid of distances
`images/`            flat pictures
`assets/`            files of artists: reading, mending, unwrapping, painting, writing
===================  ===============================================================================
"""

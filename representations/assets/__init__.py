"""What an artist opens: meshes with materials, from files and into files.

==============================  ====================================================================
`asset`, `pieces`               a mesh with texture coordinates and a material; parts of a file as one
`reading`, `writing`            files of any format; `formats/` holds one module for each
`inspection`, `repair`          what is wrong with an asset, and mending it
`closing`, `quad_remeshing`     watertight; of even quadrilaterals
`unwrapping`, `baking`          texture coordinates, and maps painted from a detailed surface
`finishing`                     all of that in the order in which it is delivered
`textures`, `colour_space`      images on surfaces; sRGB and linear light
`vertex_buffers`                an asset as graphics cards want it
`pictures`, `studio`            how it would be seen elsewhere; photographs with soft light and shadows
==============================  ====================================================================
"""

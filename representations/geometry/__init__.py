"""Meshes and grids as numbers. Nothing here knows of cameras, materials or learning.

=========================  =============================================================================
`mesh`                     what a triangle mesh is, what is wrong with one, how it is cleaned
`topology`, `winding`      which faces lie beside each other, and which way they turn
`closest_points`           which point of a surface is nearest; `signed_distance`: and on which side
`box_tree`, `vectors`      what searches are made of: trees of boxes, and three numbers in compiled loops
`hard_edges`, `tangents`   directions at corners
`voxels`, `isosurface`     values at the nodes of a grid, and the surface where they cross a threshold
`rasterizer`               which triangle each pixel sees
=========================  =============================================================================
"""

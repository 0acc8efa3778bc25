"""Meshes that learn.

==============================  ====================================================================
`mesh_field`                    a textured surface seen by cameras
`distance_grid`, `fixed_shape`  where its surface comes from
`dual_marching_cubes`           which patches of surface pass through the cubes of a grid
`differentiable_rasterizer`     pictures that are differentiable in everything
`silhouettes`                   antialiasing whose gradient moves outlines
`penalties`                     what keeps a surface usable
==============================  ====================================================================
"""

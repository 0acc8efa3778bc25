"""Radiance fields: what is where.

==============================  ====================================================================
`field`                         density and colour at any point: a grid, or a hash grid
`encodings`, `hash_kernels`     hash grids, and their compiled lookups
`occupancy`                     which cells hold anything
`volume`, `volume_kernels`      light along rays through a voxel grid, in torch and compiled
`packed`                        the same through any field
`nerf`                          a field seen by cameras
`surface`                       which density counts as the surface
==============================  ====================================================================
"""

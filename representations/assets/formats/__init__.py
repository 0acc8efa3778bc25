"""File formats, each read in one module and written in another: glTF, OBJ, USD."""

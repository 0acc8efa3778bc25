"""A prompt becomes an object.

===================  ===============================================================================
`photo`              a picture that the object shall look like
`request`            what the user asks for; `told`: what the teacher is told of it
`recipes`            what a run does by default, by its preset and the size of its teacher
`stages`             what can be optimised, one after the other; `stage`: what one of them optimises
`scene`              a stage with its teacher and its method, ready to begin
`initial_mesh`       a file of the user's as what a mesh stage begins with
`composition`        several objects in one scene; `editing`: a run that begins with another
`generation`         the course of a run; `curves`, `live`: what is seen of it meanwhile
`results`            what it leaves behind; `judging`: how good it is; `sizes`: how large
`run_folder`         where all of that lies; `loading` reads it back
===================  ===============================================================================
"""

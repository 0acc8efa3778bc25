"""The `scoresmith` command.

===============  ===================================================================================
`main`           which subcommands there are; `errors`: which errors are the user's to mend
`commands/`      one small file for each subcommand
`scenes/`        a prompt becomes an object: from the request to the files of a run
`trainings/`     a teacher becomes a student
`viewer/`        the pages in the browser
`teachers`       which teacher a name stands for
`pictures`       sheets of views, turntables
===============  ===================================================================================
"""

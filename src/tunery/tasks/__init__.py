"""The tasks room: what is to be learned, as one object a task.

task            the seam: what a task must be able to do
labels          what the tasks share that give a text labels; classification, multilabel: these tasks
combine         how answers of several models become one
table           spec -> task

Reading rows needs no torch: what does is imported where it is used.
"""

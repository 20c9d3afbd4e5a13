# What a board runs first: its program's folder is found, for the prompt too.
import slots

slots.begin()

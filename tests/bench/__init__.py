"""The figures: what the core and the agent cost and do, beside their peers, in the same run."""

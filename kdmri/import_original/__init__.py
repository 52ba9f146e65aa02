"""The command that makes a stage of a checkpoint of another project."""

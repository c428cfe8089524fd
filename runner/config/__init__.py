"""YAML and arguments → a checked, frozen Experiment."""

"""The API's resources: argument names, docstrings and nothing else. One file for each resource."""

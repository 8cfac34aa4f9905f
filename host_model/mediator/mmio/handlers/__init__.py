"""The registers that are served by code, one module per idea. Importing a module enters its handlers."""

"""Training loop, solver, events and the job that runs them."""

"""What `e2e` and `measure` share: the real app, the real nginx and Filmgate, started on free ports of this machine."""

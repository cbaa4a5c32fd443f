"""Small odd workspaces, in which each session's verdict and figures are held against cargo's own."""

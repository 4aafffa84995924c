"""The mel post-filter: drawn speech is filtered to the log-mel frames that the model predicts."""

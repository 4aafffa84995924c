"""Post-filters of drawn speech: to the log-mel frames that the mel predictor gives, and a comb."""

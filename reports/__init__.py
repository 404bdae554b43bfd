"""Tables, figures and pages made from what a run folder holds."""

"""`trace`: the convolutions of a real model's backward pass, as a list of cases."""

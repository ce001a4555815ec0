"""What is measured, one function each: a bench in, what was found out."""

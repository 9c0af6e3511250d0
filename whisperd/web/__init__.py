"""HTTP: the application, what is common to all dialects, and one file for each dialect."""

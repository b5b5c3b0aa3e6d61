"""How do the steps follow each other? The shell: paths and the clock enter here."""

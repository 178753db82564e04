"""`undertow doctor`: what is wrong here, why nothing is concluded, and the next step to mend it."""

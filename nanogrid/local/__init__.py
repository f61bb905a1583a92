"""Files and processes of a grid on one machine."""

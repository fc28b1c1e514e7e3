"""What tests of several rooms use: file systems, trees, tars, images, programs, figures."""

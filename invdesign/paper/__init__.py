"""What the paper behind the default device states, and which of its statements exclude each other.

F. P. García de Arquer et al., Field-emission from quantum-dot-in-perovskite solids, Nature Communications 8, 14757
(2017), DOI 10.1038/ncomms14757. The supplement is not used: rows of its figures (panels S3 to S16) are what the paper
itself says about them. How samples were made is left out.
"""

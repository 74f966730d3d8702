"""What comes out: records of runs, studies, comparisons and what lies on disk, and which of them is better."""

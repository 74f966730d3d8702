"""The parameter-efficient methods: peft's and tunery's own, behind one seam."""

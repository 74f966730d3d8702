"""The parameter-efficient methods: peft's and our own, behind one seam."""

"""The steps: trainer, callbacks, and what is kept so that a run resumes exactly."""

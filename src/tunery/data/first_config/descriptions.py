"""What known labels mean, in a sentence that a model can start from."""

from typing import Final

DESCRIPTIONS: Final = {
    "DEPRESSED_MOOD": "The writer feels sad, empty, hopeless or tearful most of the time.",
    "ANHEDONIA": "The writer has lost interest in things, or takes no pleasure in what used to be enjoyable.",
    "APPETITE_CHANGE": "The writer eats much less or more than before, or loses or gains weight without wanting to.",
    "SLEEP_ISSUES": "The writer cannot fall asleep, wakes too early, or sleeps far too much.",
    "PSYCHOMOTOR": "The writer is so restless that it is hard to sit still, or moves and speaks noticeably slower.",
    "FATIGUE": "The writer is tired and without energy nearly every day, and small tasks cost great effort.",
    "WORTHLESSNESS": "The writer feels worthless, a failure or a burden, or blames themselves beyond reason.",
    "COGNITIVE_ISSUES": "The writer finds it hard to think, concentrate, remember or decide.",
    "SUICIDAL_THOUGHTS": "The writer thinks of death, wishes to be dead, or plans or has tried to end their life.",
}
"""Symptoms of depression by their names in ReDSM5."""
NO_LABELS: Final = ("SPECIAL_CASE",)
"""What ReDSM5 has in place of a symptom."""

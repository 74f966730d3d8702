"""Rows become examples, examples become batches.

reading/       files and Hub data sets -> rows (plain dicts), and by the columns that the config names -> examples
splitting      which training rows become a missing split
splits         the three splits of a config, read or split off from train, with digests
checks/        what is wrong with them
first_config/  a config for files that nobody has described yet
examples       a row with its meaning, and the splits that hold them
lengths        how long a text is, without a tokenizer
offsets        numbers of characters where labels are expected
metrics        numbers from logits and targets
row_table      named arrays with one entry a row
rng            random numbers keyed by what they are for
encode         examples -> token ids
batches        token ids -> steps and micro-batches

Only encode and batches need torch or transformers: checking data works without them.
"""

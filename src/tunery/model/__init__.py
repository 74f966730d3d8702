"""The model room: a spec becomes an `nn.Module` ready to train, and a trained one becomes a folder others can load.

- catalog.py: names (aliases, local folders, Hub ids); knows no torch
- hub.py: a name becomes a folder on this machine: the cache, then the Hub with patience
- backbone.py: a folder becomes a pretrained module, a tokenizer, a digest
- structure.py: where a backbone keeps its layers; families.py: what their parts are called
- pooling.py: token states become one vector; heads.py: what a task asks for, as heads by the names of its outputs
- dropout.py: how strong dropout is in head, encoder and attention
- freeze.py: which pretrained parameters stay; peft.py: which are added, by which method
- library.py: methods that peft brings; adalora.py: ranks that move; by_name.py: any other class of peft
- bottleneck.py, compacter.py: adapters of ours; tuner.py: how they sit in a model; selection.py: training a part of it
- adapter_files.py: what our own methods save
- build.py: all of it joined, `build(spec) -> Built`
- mismatches.py: how saved tensors differ from parameters
- trainable.py: what was trained: counting, saving, loading it
- export.py: a folder that plain transformers or PEFT loads
"""

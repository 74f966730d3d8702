"""The model room: a spec becomes an `nn.Module` ready to train, and a trained one becomes a folder others can load.

- build.py: all of it joined, `build(spec) -> Built`; trial_pass.py: a few tokens through what was built
- trainable.py: what was trained: counting, saving, loading it; mismatches.py: how saved tensors differ from parameters
- reference.py: the pretrained values of what was trained, which it is stored against
- export.py: a folder that plain transformers or PEFT loads; sentence_modules.py: what sentence-transformers needs

backbones/
- catalog.py: names (aliases, local folders, Hub ids); knows no torch
- hub.py: a name becomes a folder on this machine: from the cache, else from the Hub, with retries
- backbone.py: a folder becomes a pretrained module, a tokenizer, a digest
- structure.py: where a backbone keeps its layers; families.py: what their parts are called
- dropout.py: how strong dropout is in head, encoder and attention; freeze.py: which pretrained parameters stay
- checkpointing.py, quantization.py, quantized_linear.py: less memory

heads/
- pooling.py: token states become one vector; layers.py: a vector becomes a number for each label
- heads.py: what a task asks for, as heads by the names of its outputs; auto.py: the head that suits a base
- criteria.py: labels and their evidence, from units.py: token states become states of words or sentences, evidence.py:
  which of these are evidence (crf.py), and coupling.py: how a label follows; descriptions.py: what a label begins from

peft/
- method.py: the seam between a model and a way of training it; methods.py: all of them; chosen.py: that of a config
- library.py: methods that peft brings; adalora.py, prompting.py: those that need more; by_name.py: any other class
- bottleneck.py, compacter.py: tunery's own adapters; tuner.py: how they are put into a model
- selection.py: training a part of the model; full.py: training all of it
- adapter_files.py: what tunery's own methods save; library_models.py: what peft has made
  of a model; library_warnings.py: what nobody need read
"""

"""The pretrained model and the head that is put on it."""

from typing import Annotated, Final, Literal

from pydantic import Field

from tunery.schema.spec import Choices, Range, Spec, Width

Pooling = Literal["cls", "mean", "last", "attention", "last_2_layer_mix"]
"""The first token, the mean over real tokens, the last real token, a mean with learned weights, or the mean over a
learned mix of the last two layers."""

LEARNED_POOLINGS: Final = ("attention", "last_2_layer_mix")
"""Poolings with parameters of their own."""

Activation = Literal["gelu", "silu", "relu", "leaky_relu", "mish", "tanh"]

Hidden = Annotated[Width, Choices((128, 256, 512, 1024))]
"""Width of a hidden layer."""

SearchedActivation = Annotated[Activation, Choices(("gelu", "silu", "relu", "leaky_relu", "mish", "tanh"))]

HeadInit = Literal["random", "probe"]
"""Small random weights, or those of a logistic regression on pooled tokens before anything is trained (linear probing,
then fine-tuning: Kumar et al. 2022, arXiv 2202.10054, section 3.4)."""


class AutoHead(Spec):
    """One linear layer over the pooling that the model was trained with: read from its folder where that says so, as
    those of sentence-transformers do; else the mean over tokens for encoders, the last token for decoders."""

    kind: Literal["auto"] = "auto"
    init: HeadInit = "random"
    """What it starts from: small random weights, or the logistic regression on the frozen model's pooled tokens."""


class NativeHead(Spec):
    """The architecture's own classification head, so that plain transformers loads the result."""

    kind: Literal["native"] = "native"


class Pooled(Spec):
    """Layers over pooled token states."""

    kind: str
    pooling: Pooling = "mean"
    """How token states become one vector: `mean` over real tokens, `last` real token, `cls`, the first one, which
    causal models (GPT-2, Llama) refuse: there it sees none of the others; `attention`, a mean with weights
    softmax(h · q / √d) of a learned q; `last_2_layer_mix`, the mean over a learned mix of the last two layers. Searched
    where a config lists several."""


class LinearHead(Pooled):
    """Pooled token states, dropout, one linear layer."""

    kind: Literal["linear"] = "linear"
    init: HeadInit = "random"
    """What it starts from: small random weights, or the logistic regression on the frozen model's pooled tokens."""


class MlpHead(Pooled):
    """Pooled token states, one hidden layer, one linear layer."""

    kind: Literal["mlp"] = "mlp"
    hidden: Hidden = 256
    """Width of the hidden layer."""
    activation: SearchedActivation = "gelu"
    """Activation of the hidden layer."""


class MlpResidualHead(Pooled):
    """Pooled token states, a hidden layer whose output is added to its input, one linear layer (He et al. 2016, arXiv
    1512.03385)."""

    kind: Literal["mlp_residual"] = "mlp_residual"
    hidden: Hidden = 256
    """Width of the hidden layer."""
    activation: SearchedActivation = "gelu"
    """Activation of the hidden layer."""


class GatedHead(Pooled):
    """Pooled token states, a hidden layer σ(G x) ⊙ act(W x), one linear layer (Dauphin et al. 2017, arXiv
    1612.08083)."""

    kind: Literal["gated"] = "gated"
    hidden: Hidden = 256
    """Width of the hidden layer."""
    activation: SearchedActivation = "gelu"
    """Activation beside the gate."""


class MultiSampleDropoutHead(Pooled):
    """Pooled token states, one linear layer; logits in training are the mean over several dropout masks, so that a high
    `regularization.head_dropout` costs less (Inoue 2019, arXiv 1905.09788)."""

    kind: Literal["multi_sample_dropout"] = "multi_sample_dropout"
    samples: Annotated[int, Field(ge=1, le=64), Range(2, 8)] = 5
    """Dropout masks."""


Head = Annotated[
    AutoHead | NativeHead | LinearHead | MlpHead | MlpResidualHead | GatedHead | MultiSampleDropoutHead,
    Field(discriminator="kind"),
    Choices(("auto", "native", "mlp", "mlp_residual", "gated", "multi_sample_dropout")),
]


MaxSpan = Annotated[int, Field(ge=1, le=512), Range(5, 40)]


class Tagging(Spec):
    """Every unit by itself: (W x) · q / √d + b, of a unit state x, the query q of a label, and a W that begins as the
    identity; then the mean of neighbouring units."""

    kind: Literal["tagging"] = "tagging"
    neighbours: Annotated[Annotated[int, Field(ge=0, le=100)] | None, Choices((None, 0, 1, 2, 4))] = None
    """Units on each side whose scores count as much as a unit's own, so that evidence is found in runs. Null: so many
    words that the run is no longer than half of the spans in the training rows, up to 4 on each side; none of
    sentences."""


class StartEnd(Spec):
    """The best span that covers a unit decides: P(span i..j) = σ(start_i) σ(end_j)."""

    kind: str
    max_span: MaxSpan = 20
    """Most units of a span."""


class StartEndLinear(StartEnd):
    """The best span that covers a unit decides, of P(span i..j) = σ(start_i) σ(end_j), where starts and ends are scored
    as by `tagging`, each with a W of its own (Devlin et al. 2019, arXiv 1810.04805, section 4.2)."""

    kind: Literal["start_end_linear"] = "start_end_linear"


class StartEndMlp(StartEnd):
    """The same, where a hidden layer adds to unit states and to queries before they are compared."""

    kind: Literal["start_end_mlp"] = "start_end_mlp"
    hidden: Hidden = 256
    """Width of the hidden layers."""
    activation: SearchedActivation = "gelu"
    """Activation of the hidden layers."""


class Biaffine(Spec):
    """The best span that covers a unit decides, and a span is scored by both of its ends together: start_i + end_j +
    (A x_i) · (P q ⊙ B x_j) (Dozat & Manning 2017, arXiv 1611.01734, equation 2, of rank `hidden`; Yu et al. 2020, arXiv
    2005.07150, of spans)."""

    kind: Literal["biaffine"] = "biaffine"
    hidden: Annotated[Width, Choices((64, 128, 256))] = 128
    """Rank of the product."""
    max_span: MaxSpan = 20
    """Most units of a span."""


class BioCrf(Spec):
    """Each label has a chain of tags, begin, inside and outside, with learned transitions (Lafferty et al. 2001; Lample
    et al. 2016, arXiv 1603.01360, section 2.2). A unit is as likely evidence as it is begin or inside over all chains.
    """

    kind: Literal["bio_crf"] = "bio_crf"


class SentenceReranker(Spec):
    """Units see one another in a transformer layer, then compete for each label: softmax over their scores and that of
    no evidence at all, which is learned (as of no answer in Devlin et al. 2019, arXiv 1810.04805, section 4.3)."""

    kind: Literal["sentence_reranker"] = "sentence_reranker"
    hidden: Hidden = 256
    """Width of the feed-forward part of the layer."""


EvidenceHead = Annotated[
    Tagging | StartEndLinear | StartEndMlp | Biaffine | BioCrf | SentenceReranker,
    Field(discriminator="kind"),
    Choices(("tagging", "start_end_linear", "start_end_mlp", "biaffine", "bio_crf", "sentence_reranker")),
]


EvidencePooling = Literal["mean", "max", "attention"]
Fusion = Literal["concat", "add", "mean", "weighted_sum", "weighted_mean"]


class Independent(Spec):
    """The label is read from the pooled text, as without evidence: evidence and label share the encoder only."""

    kind: Literal["independent"] = "independent"


class Coupled(Spec):
    """Each label is read from the pooled text and from its own evidence, joined into one vector."""

    kind: Literal["coupled"] = "coupled"
    pooling: Annotated[EvidencePooling, Choices(("mean", "max", "attention"))] = "attention"
    """How the states x of units with logits s become the evidence of a label: `mean` with weights σ(s), `max` σ(s) x of
    the likeliest unit, `attention` with weights softmax(s)."""
    fusion: Annotated[Fusion, Choices(("concat", "add", "mean", "weighted_sum", "weighted_mean"))] = "concat"
    """How evidence and pooled text become one vector; `weighted_sum` and `weighted_mean` learn a weight for each."""


class EvidenceFirst(Spec):
    """The label is read from its evidence: a e + b + σ(e) h(v). Here e is the log-mean-exp of the label's unit logits,
    (1/r) log mean exp(r s) (Pinheiro & Collobert 2015, arXiv 1411.6228, equation 6), so that a text is not likelier for
    its length; v is the mean of unit states with weights softmax(r s), h are the layers of `model.head`, and a, r > 0
    and b are learned. Where no unit is evidence, σ(e) leaves h no say. `model.head.pooling` is not read."""

    kind: Literal["evidence_first"] = "evidence_first"


Coupling = Annotated[
    EvidenceFirst | Coupled | Independent,
    Field(discriminator="kind"),
    Choices(("evidence_first", "coupled", "independent")),
]


class Model(Spec):
    """Which pretrained model, how much text it sees, in which precision it computes."""

    name: str = "minilm"
    """A local folder, a Hub id, or an alias that `tunery models` lists."""
    revision: str | None = None
    """Commit, tag or branch of the Hub model; the resolved commit is recorded either way."""
    max_length: Annotated[int, Field(ge=2, le=1_000_000)] = 256
    """Tokens per example, special tokens included; longer texts are cut at the end."""
    head: Head = AutoHead()
    """The layers between the encoder and the labels."""
    evidence_head: EvidenceHead = Tagging()
    """What finds the evidence of a label among the units of a text (words or sentences), where the task reads
    evidence."""
    coupling: Coupling = EvidenceFirst()
    """How the label follows from its evidence, where the task reads evidence."""
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = "auto"
    """Compute precision; weights stay fp32. `auto` takes bf16 where the device has it in hardware, else fp16 with loss
    scaling, else fp32, and says why. `tf32` is fp32 with matrix products in TensorFloat-32."""
    quantization: Literal["nf4", "int8"] | None = None
    """Keep the frozen weights in 4 or 8 bits under the LoRA family (Dettmers et al. 2023, arXiv 2305.14314)."""
    trust_remote_code: bool = False
    """The model needs code that comes with it. A record and no permission: that is given by `--trust-remote-code`, or
    by this key as an override on the command line, in each call anew."""

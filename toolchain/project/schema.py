"""The schema of ``project.toml``: every section, every key, its meaning and its only default."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Share = Annotated[float, Field(gt=0.0, lt=1.0)]
Positive = Annotated[int, Field(ge=1)]
#: C++ identifiers made from it stay legal, and no path separator can appear.
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=64)]


class Section(BaseModel):
    """Base of every table: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSection(Section):
    """``[data]``: where samples come from, and how they are split in time."""

    source: Literal["sp500", "csv", "parquet", "npz", "npy", "python"] = Field(
        "sp500", description="sp500: daily prices from the arch package"
    )
    path: str = Field("", description="file for csv, parquet, npz, folder for npy; relative to the project folder")
    function: str = Field("", description="python: module:function that returns a DataFrame or arrays")
    allow_custom_code: bool = Field(False, description="python: let that function run: only if trusted")
    task: Literal["price_forecast", "direction", "regression", "classification"] = Field(
        "price_forecast", description="what the features and labels are made for; npz: regression or classification"
    )
    look_back: Positive = Field(14, description="time steps per sample")
    price_column: str = Field("Adj Close", description="price_forecast: the column that is forecast")
    target_columns: tuple[str, ...] = Field(
        (), description="regression and classification of a table: what is predicted; the other numbers are the inputs"
    )
    inputs: dict[Name, tuple[str, ...]] = Field(
        default_factory=dict, description="of a table: the columns of each input of a model of several"
    )
    outputs: dict[Name, tuple[str, ...]] = Field(
        default_factory=dict, description="of a table: what each output of a model of several predicts, by columns"
    )
    time_column: str = Field(
        "", description="of a table; default: the one named start_ms, timestamp, datetime, date or time"
    )
    volume_window: Positive = Field(288, description="direction: rows of the trailing mean volume; 288 x 5 min: a day")
    first_row: int = Field(0, ge=0, description="rows of the table before this one are left out; counted from 0")
    last_row: int | None = Field(None, ge=1, description="rows from this one on are left out; default: all are used")
    train_share: Share = Field(0.7, description="first part of the series, in time")
    validation_share: Share = Field(0.1, description="next part; the rest is the test part")
    embargo: int = Field(14, ge=0, description="samples left out between the parts; at least look_back for windows")

    @model_validator(mode="after")
    def _shares(self) -> DataSection:
        if self.train_share + self.validation_share >= 1.0:
            raise ValueError("train_share + validation_share must leave a test part: their sum must be below 1")
        if self.last_row is not None and self.last_row <= self.first_row:
            raise ValueError(f"last_row must be above first_row ({self.first_row})")
        if self.source in ("npz", "npy") and (self.first_row or self.last_row is not None):
            raise ValueError(f"first_row and last_row choose rows of a table; source = {self.source!r} holds samples")
        table = self.source in ("csv", "parquet") and self.task in ("regression", "classification")
        if self.target_columns and self.outputs:
            raise ValueError("target_columns are the one output's, [data.outputs] those of several: give one of them")
        if table != bool(self.target_columns or self.outputs) and self.source != "python":
            raise ValueError(
                "target_columns name what is predicted from a table, [data.outputs] what several outputs do: give them "
                "for source 'csv' or 'parquet' with task 'regression' or 'classification', and only there"
            )
        if self.source in ("npz", "npy") and self.task in ("price_forecast", "direction"):
            raise ValueError(
                f"source = {self.source!r} holds ready samples: task must be 'regression' or 'classification'"
            )
        if self.task in ("price_forecast", "direction") and self.embargo < self.look_back:
            raise ValueError(f"embargo must be at least look_back ({self.look_back}), or windows overlap the next part")
        return self

    @property
    def predicted_columns(self) -> tuple[str, ...]:
        """Every column of a table that is a target: of all outputs, in the alphabetical order of their names."""
        named = [column for name in sorted(self.outputs) for column in self.outputs[name]]
        return self.target_columns or tuple(dict.fromkeys(named))


class ModelSection(Section):
    """``[model]``: a reference architecture, or a Keras file."""

    architecture: Literal["spx_cnn", "btc_mlp", ""] = Field("", description="a built-in architecture")
    file: str = Field("", description="a Keras file instead; relative to the project folder")
    weights: str = Field("", description="the weights that belong to a file that ends in .json")
    final_relu: bool = Field(False, description="ReLU on the output as in the paper; off: a ReLU cannot go below 0")
    recurrent: Literal["unrolled", "step"] = Field(
        "unrolled", description="step: hardware is one tick of the recurrent layer, its state at ports"
    )
    allow_custom_code: bool = Field(False, description="let a Keras file's Lambda or custom code run: only if trusted")

    @model_validator(mode="after")
    def _one(self) -> ModelSection:
        if bool(self.architecture) == bool(self.file):
            raise ValueError("give exactly one of 'architecture' and 'file'")
        return self


class TrainSection(Section):
    """``[train]``: training of the float model. A model from a file keeps its weights unless ``epochs`` > 0."""

    epochs: int = Field(40, ge=0)
    batch_size: Positive = 64
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0, description="decoupled (AdamW); 0 is plain Adam")
    patience: int = Field(10, ge=0, description="epochs without a better validation loss before stopping; 0: never")


class PruneSection(Section):
    """``[prune]``: weights to ``final_sparsity`` by a strategy, then structured removal, then fine-tuning."""

    strategy: Literal["gradual", "one_shot", "iterative", "lottery_ticket"] = Field(
        "gradual",
        description="gradual: while training; the others: pruning, then fine-tuning",
    )
    weight_criterion: Literal["magnitude", "taylor", "hessian", "movement", "hardware"] = Field(
        "magnitude", description="importance of a weight"
    )
    scope: Literal["layer", "network"] = Field("layer", description="network: one threshold over all kernels")
    block: tuple[Positive, Positive] = Field((1, 1), description="rows x columns of a kernel pruned together")
    percentile: float | None = Field(
        None, ge=0, lt=100, description="one_shot: keep |w| > P_percentile of each kernel, instead of final_sparsity"
    )
    structured_sparsity: Fraction = Field(
        0.0, description="fraction of the units of every family of coupled layers that is cut out; of the branches"
    )
    granularity: Literal["unit", "neuron", "filter", "head", "layer"] = Field(
        "unit", description="what is cut: every kind of unit, one kind, attention heads, or whole residual branches"
    )
    criterion: Literal["l1", "l2", "activation", "redundancy", "taylor", "batch_norm", "hardware"] = Field(
        "l2", description="importance of a unit: norm of its weights, mean activation, uncorrelated activation, …"
    )
    schedule: Literal["polynomial", "constant", "linear", "cubic", "exponential"] = Field(
        "polynomial", description="gradual: how sparsity grows"
    )
    power: float = Field(3.0, gt=0, description="polynomial decay exponent; 3 is TFMOT's cubic")
    rate: float = Field(5.0, gt=0, description="exponential: 1 - exp(-rate t), t from 0 to 1")
    initial_sparsity: Fraction = 0.0
    final_sparsity: Fraction = Field(0.75, description="fraction of zeros in every kernel")
    sparsities: dict[str, Fraction] = Field(default_factory=dict, description="final_sparsity of single layers")
    begin_step: int = Field(0, ge=0, description="first training step at which weights are pruned")
    end_step: int | None = Field(None, ge=1, description="step at which final_sparsity is reached; default: 2/3 of all")
    frequency: Positive = Field(10, description="steps between two updates of the mask")
    epochs: Positive = Field(60, description="of gradual pruning; of the tickets' training")
    learning_rate_factor: float = Field(1.0, gt=0, description="gradual: times train.learning_rate")
    pruned_share: Share = Field(
        0.2, description="iterative, lottery_ticket: share of what is left that goes in a round"
    )
    rewind_epoch: int = Field(0, ge=0, description="lottery_ticket: 0 rewinds to initialisation, k to epoch k")
    fine_tune_share: float = Field(0.2, gt=0, le=1, description="epochs of fine-tuning in a round, of [prune] epochs")
    fine_tune_learning_rate_factor: float = Field(0.1, gt=0, description="fine-tuning: times train.learning_rate")
    distillation: float = Field(0.0, ge=0, le=1, description="weight of the dense model's outputs in the loss")
    temperature: float = Field(2.0, gt=0, description="distillation of classes: softens both outputs")
    sensitivity: bool = Field(False, description="measure each layer alone, and set its target by accuracy_loss")
    accuracy_loss: float | None = Field(
        None, gt=0, lt=1, description="prune only as far as the metric on the validation part is relatively no worse"
    )
    hardware_bits: int = Field(8, ge=2, le=16, description="weight_criterion = 'hardware': width of the weights")
    skip: tuple[str, ...] = Field((), description="layers that are not pruned")

    @model_validator(mode="after")
    def _order(self) -> PruneSection:
        if self.initial_sparsity > self.final_sparsity:
            raise ValueError("initial_sparsity must not exceed final_sparsity")
        if self.end_step is not None and self.end_step <= self.begin_step:
            raise ValueError("end_step must come after begin_step")
        return self

    @model_validator(mode="after")
    def _together(self) -> PruneSection:
        if self.percentile is not None and (self.strategy != "one_shot" or self.weight_criterion != "magnitude"):
            raise ValueError("percentile needs strategy = 'one_shot' and weight_criterion = 'magnitude'")
        if self.percentile is not None and (self.block != (1, 1) or self.scope == "network" or self.sparsities):
            raise ValueError("percentile is a rule for each kernel's single weights: no block, scope or sparsities")
        if self.scope == "network" and self.sparsities:
            raise ValueError("scope = 'network' has one threshold: no sparsities of single layers")
        if self.accuracy_loss is not None and self.percentile is not None:
            raise ValueError("accuracy_loss tries other sparsities: percentile has only its own")
        if self.sensitivity and (self.accuracy_loss is None or self.scope == "network" or self.percentile is not None):
            raise ValueError(
                "sensitivity sets layers' targets by accuracy_loss: give it; no scope 'network', percentile"
            )
        if self.sparsities and not self.final_sparsity:
            raise ValueError(
                "final_sparsity = 0 prunes nothing: sparsities need one above 0; skip names what stays whole"
            )
        if self.rewind_epoch >= self.epochs:
            raise ValueError("rewind_epoch must lie before the last of epochs")
        return self


class QuantizeLayer(Section):
    """``[quantize.layers.NAME]``: widths of one layer of the model."""

    weight_bits: int | None = Field(None, ge=2, le=16, description="width of its kernel, sign included")
    activation_bits: int | None = Field(None, ge=2, le=16, description="width of its result")


class QuantizeSection(Section):
    """``[quantize]``: QKeras formats and quantization-aware fine-tuning. Integer bits never count the sign."""

    weight_bits: int = Field(8, ge=2, le=16, description="width of kernels and biases, sign included")
    weight_integer_bits: int | None = Field(
        None, ge=0, le=8, description="default: for each layer what rounds and clips its weights least"
    )
    activation_bits: int = Field(8, ge=2, le=16, description="width of ReLU results (unsigned)")
    bias_extra_bits: int = Field(0, ge=0, le=16, description="fractional bits of biases beyond the kernel's")
    activation_headroom_bits: int = Field(
        0, ge=0, le=8, description="extra integer bits above the training part's range"
    )
    activation_integer_bits: int | None = Field(None, ge=0, le=12, description="default: from training data")
    input_bits: int = Field(12, ge=2, le=24, description="width of the input format, sign included")
    input_integer_bits: int | None = Field(None, ge=0, le=16, description="default: from training data, plus headroom")
    input_headroom_bits: int = Field(1, ge=0, le=8, description="extra integer bits above the training part's range")
    epochs: int = Field(15, ge=0)
    learning_rate_factor: float = Field(0.1, gt=0, description="times train.learning_rate")
    final_softmax: bool = Field(
        False, description="the softmax at the end of a model file in hardware, too; off: the outputs are logits"
    )
    layers: dict[str, QuantizeLayer] = Field(default_factory=dict)


class HlsLayer(Section):
    """``[hls.layers.NAME]``: overrides for one layer of the model."""

    strategy: Literal["latency", "resource", "distributed_arithmetic"] | None = None
    reuse_factor: Positive | None = None


class HlsSection(Section):
    """``[hls]``: the written project."""

    backend: Literal["vitis", "vivado"] = "vitis"
    part: str = Field("", description="default: the target's; it must be one that the target file names")
    io_type: Literal["io_parallel", "io_stream"] = "io_parallel"
    strategy: Literal["latency", "resource", "distributed_arithmetic"] = "latency"
    reuse_factor: Positive = 1
    clock_period_ns: float | None = Field(None, gt=0.5, le=100, description="default: the target's")
    accumulator: Literal["proven", "auto"] = Field(
        "proven", description="proven: the smallest that holds every sum; auto: hls4ml's rule, from the formats alone"
    )
    layers: dict[str, HlsLayer] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _distributed(self) -> HlsSection:
        if self.strategy == "distributed_arithmetic" and self.reuse_factor != 1:
            raise ValueError("strategy = 'distributed_arithmetic' has reuse_factor 1 only")
        return self


class CsimSection(Section):
    """``[csim]``: the C-simulation. It always runs the whole test part and the corner vectors."""

    optimization: Literal["O0", "O1", "O2", "O3"] = Field("O1", description="g++ level; the words do not depend on it")


TfliteKind = Literal["float32", "float16", "dynamic_range", "post_training_int8", "int8", "int16x8", "int8_wide_result"]


class TfliteSection(Section):
    """``[tflite]``: the ARM artefacts."""

    kinds: tuple[TfliteKind, ...] = Field(
        ("float32", "int8"), description="int8 and int16x8 hold the network's own integers; the others are TensorFlow's"
    )
    verify: bool = Field(False, description="run the int8 artefact on emulated ARM cores in every build")


class BudgetSection(Section):
    """``[budget]``: upper bounds that fail the build with exit code 4."""

    dsp: int | None = Field(None, ge=0)
    bram_18k: int | None = Field(None, ge=0)
    lut: int | None = Field(None, ge=0)
    ff: int | None = Field(None, ge=0)
    latency_ns: float | None = Field(None, gt=0)
    initiation_interval: int | None = Field(None, ge=1)
    accuracy_loss: float | None = Field(
        None, gt=0, description="largest relative loss of the task metric, float to hardware: 0.02 is 2 %"
    )


class Project(Section):
    """A whole ``project.toml``. ``folder`` is where it stands; relative paths start there."""

    name: Name
    description: str = ""
    seed: int = Field(0, ge=0)
    data: DataSection = Field(default_factory=DataSection)
    model: ModelSection
    train: TrainSection = Field(default_factory=TrainSection)
    prune: PruneSection = Field(default_factory=PruneSection)
    quantize: QuantizeSection = Field(default_factory=QuantizeSection)
    hls: HlsSection = Field(default_factory=HlsSection)
    csim: CsimSection = Field(default_factory=CsimSection)
    tflite: TfliteSection = Field(default_factory=TfliteSection)
    budget: BudgetSection = Field(default_factory=BudgetSection)

"""What the keys mean that report.json takes over from the records of ``toolchain.results``.

``key`` alone, or ``Record.key`` where one word means different things in different records.
"""

DESCRIPTIONS = {
    # Comparison and BitAccuracy
    "verdict": "bit_exact: every word is equal; mismatch: at least one is not; not_run: see reason",
    "samples": "samples that were compared: the whole test part and the corner vectors",
    "words": "words that were compared, over all samples and layers",
    "mismatched_words": "words that differ",
    "first_mismatch": "the first word that differs in the first layer that differs; null when all are equal",
    "reason": "why nothing was compared; empty when it was",
    "Comparison.layers": "layer of the network -> words that differ in it",
    "BitAccuracy.layers": "layer of the network -> words that differ in it",
    # Mismatch
    "Mismatch.layer": "node of the integer network",
    "keras_layer": "layer of the Keras model that the node came from",
    "sample": "index of the sample among those compared, from 0",
    "element": "index within the layer's result, from 0",
    "expected_word": "the network's word; its value is word * 2**-fractional_bits",
    "found_word": "the word that was found; null when there is none",
    "fractional_bits": "fractional bits of both words",
    "cause": "why they differ, as far as experiments could tell",
    # Interval, Estimated
    "Interval.value": "the measured value",
    "Interval.low": "lower end of the 95 % interval",
    "Interval.high": "upper end of the 95 % interval",
    "Estimated.value": "the estimate",
    "Estimated.low": "lower end of the 80 % interval",
    "Estimated.high": "upper end of the 80 % interval",
    # Estimate, LayerEstimate
    "stage": "what the figures predict: csynth (the HLS report) or logic_synthesis (what the device will hold)",
    "dsp": "DSP blocks",
    "bram_18k": "18 Kb block RAMs",
    "lut": "look-up tables",
    "ff": "flip-flops",
    "latency_cycles": "clock cycles from the first input word to the last output word",
    "latency_ns": "the same in ns, at the clock period asked for",
    "initiation_interval": "clock cycles between two samples",
    "share": "fraction of the device by resource",
    "fits": "whether every resource is within the device",
    "limiting": "the resource with the largest share",
    "grade": "A: inside the calibrated range; B: near it; C: far outside",
    "notes": "what to know before trusting the figures",
    "explanation": "how the figures were counted",
    "Estimate.layers": "every layer's part",
    # LayerWeights, PrunedLayer, RemovedGroup
    "name": "name of the layer",
    "kind": "kind of layer",
    "shape": "shape of the kernel that is left",
    "parameters": "kernel and bias, zeros included",
    "weights": "weights of the kernel, zeros included",
    "zeros": "zeros of the kernel",
    "RemovedGroup.layer": "name of the layer",
    "before": "neurons or filters before",
    "after": "neurons or filters left",
    # TfliteFile
    "path": "file name, relative to report.json",
    "TfliteFile.kind": "float32 or int8",
    "size_bytes": "size of the file",
    "sha256": "SHA-256 of the file",
    "checked": "what its outputs were compared with, and the result",
}

"""A BERT sentence encoder as an ONNX graph, put together from its weights without torch.

Architecture: Devlin et al. 2018 (arXiv 1810.04805), post-norm, absolute positions, exact GELU; mean pooling over the
tokens of the text and normalisation to length 1 as in Sentence-BERT (arXiv 1908.10084). Only standard operators (opset
20) are used: onnxruntime fuses them itself, and its own fused operators measured no faster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

OPSET = 20
IR_VERSION = 10
_FLOAT = 1  # onnx.TensorProto.FLOAT, without importing onnx
_MASKED = np.float32(-1e4)

Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BertShape:
    """The sizes of a BERT encoder."""

    layers: int
    hidden: int
    heads: int
    epsilon: float = 1e-12


def build_bert_graph(weights: Weights, shape: BertShape) -> bytes:
    """The serialised graph, from ``input_ids`` and ``attention_mask`` (int64, texts x tokens) to ``embedding``.

    Args:
        weights: Tensors by their names in the published checkpoint; linear layers are stored output x input.
        shape: The sizes of the encoder; an embedding has ``hidden`` floats.
    """
    from onnx import TensorProto, helper

    graph = _Graph(weights, shape)
    state = graph.embeddings()
    bias = graph.attention_bias()
    for layer in range(shape.layers):
        state = graph.layer(f"encoder.layer.{layer}.", state, bias)
    graph.mean_pool(state, "embedding")
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["texts", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    output = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["texts", shape.hidden])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "sentence_encoder", inputs, [output], graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    serialised: bytes = model.SerializeToString(deterministic=True)
    return serialised


class _Graph:
    """Nodes and constants as they are added; a value is the name of a node's output."""

    def __init__(self, weights: Weights, shape: BertShape) -> None:
        self._weights = weights
        self._shape = shape
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        head = shape.hidden // shape.heads
        self._split_heads = self._constant("split_heads", np.array([0, 0, shape.heads, head]))
        self._merge_heads = self._constant("merge_heads", np.array([0, 0, shape.hidden]))
        self._scale = self._constant("scale", np.array(head**-0.5, dtype=np.float32))
        self._tokens_axis = self._constant("tokens_axis", np.array([1]))

    def embeddings(self) -> str:
        """Word + position + type embeddings, normalised. All text is of type 0, so that it joins the words' table."""
        prefix = "embeddings."
        types = self._weights[f"{prefix}token_type_embeddings.weight"]
        words = self._constant("words", self._weights[f"{prefix}word_embeddings.weight"] + types[0])
        positions = self._constant("positions", self._weights[f"{prefix}position_embeddings.weight"])
        length = self._node("Shape", "input_ids", start=1, end=2)
        position = self._node("Slice", positions, self._constant("first", np.array([0])), length)
        return self._norm(f"{prefix}LayerNorm", self._node("Add", self._node("Gather", words, "input_ids"), position))

    def attention_bias(self) -> str:
        """Zero for the tokens of the text, very negative for padding; texts x 1 x 1 x tokens."""
        one = self._constant("one", np.array(1, dtype=np.float32))
        padding = self._node("Sub", one, self._node("Cast", "attention_mask", to=_FLOAT))
        bias = self._node("Mul", padding, self._constant("masked", np.array(_MASKED)))
        return self._node("Unsqueeze", bias, self._constant("bias_axes", np.array([1, 2])))

    def layer(self, prefix: str, state: str, bias: str) -> str:
        """Self-attention and feed-forward, each added to its input and normalised."""
        attended = self._attention(f"{prefix}attention.", state, bias)
        state = self._norm(f"{prefix}attention.output.LayerNorm", self._node("Add", attended, state))
        inner = self._node("Gelu", self._linear(f"{prefix}intermediate.dense", state))
        outer = self._linear(f"{prefix}output.dense", inner)
        return self._norm(f"{prefix}output.LayerNorm", self._node("Add", outer, state))

    def mean_pool(self, state: str, output: str) -> None:
        """The direction of the mean over the text's tokens: a length of 1 makes dividing by their number needless."""
        mask = self._node("Unsqueeze", self._node("Cast", "attention_mask", to=_FLOAT), self._tokens_axis)
        total = self._node("Squeeze", self._node("MatMul", mask, state), self._tokens_axis)
        self._node("LpNormalization", total, output=output, axis=-1, p=2)

    def _attention(self, prefix: str, state: str, bias: str) -> str:
        query, key, value = (
            self._node("Reshape", self._linear(f"{prefix}self.{name}", state), self._split_heads)
            for name in ("query", "key", "value")
        )
        scores = self._node(
            "MatMul", self._node("Transpose", query, perm=[0, 2, 1, 3]), self._node("Transpose", key, perm=[0, 2, 3, 1])
        )
        weights = self._node("Softmax", self._node("Add", self._node("Mul", scores, self._scale), bias), axis=-1)
        mixed = self._node("MatMul", weights, self._node("Transpose", value, perm=[0, 2, 1, 3]))
        merged = self._node("Reshape", self._node("Transpose", mixed, perm=[0, 2, 1, 3]), self._merge_heads)
        return self._linear(f"{prefix}output.dense", merged)

    def _linear(self, name: str, value: str) -> str:
        weight = self._constant(f"{name}.weight", self._weights[f"{name}.weight"].T)
        bias = self._constant(f"{name}.bias", self._weights[f"{name}.bias"])
        return self._node("Add", self._node("MatMul", value, weight), bias)

    def _norm(self, name: str, value: str) -> str:
        scale = self._constant(f"{name}.weight", self._weights[f"{name}.weight"])
        bias = self._constant(f"{name}.bias", self._weights[f"{name}.bias"])
        return self._node("LayerNormalization", value, scale, bias, axis=-1, epsilon=self._shape.epsilon)

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def _node(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        from onnx import helper

        result = output or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [result], **attributes))
        return result

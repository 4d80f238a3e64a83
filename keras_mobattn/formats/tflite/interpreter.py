"""What LiteRT's interpreter executes of a .tflite file: the operators that a delegate took, and those it left.

No imports of its own but the standard library's: the process that times a file loads this, and counts what is in its
memory. An `interpreter` is one of ai_edge_litert, with its tensors allocated.
"""

import collections


def delegation(interpreter):
    """Count the operators in the file, the partitions that a delegate took, and by name what it left."""
    names = [node["op_name"] for node in interpreter._get_ops_details()]
    left = collections.Counter(node["op_name"] for node in executed(interpreter) if node["op_name"] != "DELEGATE")
    partitions = names.count("DELEGATE")
    return {
        "operators": len(names) - partitions,
        "partitions": partitions,
        "undelegated": dict(left.most_common()),
    }


def executed(interpreter):
    """The nodes that are executed, as the interpreter's `_get_ops_details` has them, the last first.

    The runtime keeps the replaced operators in its list and appends one "DELEGATE" per partition, so the plan that is
    executed is what a walk from the outputs meets when a delegate's node goes before the operator that it replaced.
    """
    nodes = interpreter._get_ops_details()  # private, but there is no public way
    nodes.sort(key=lambda node: node["op_name"] == "DELEGATE")  # stable: the delegates' nodes go last, and so win
    producer = {int(tensor): node for node in nodes for tensor in node["outputs"]}
    found = {}
    pending = [detail["index"] for detail in interpreter.get_output_details()]
    while pending:
        node = producer.get(int(pending.pop()))
        if node is not None and node["index"] not in found:
            found[node["index"]] = node
            pending.extend(node["inputs"])
    return list(found.values())

"""What each field of a registered queue or message type means: a part of `glossary.py`."""

_EXPRESSION = "JMESPath over {{body, attributes, group}}: {}."
_SCHEMAS = {
    "Queue": ("Request", "Settings", "Registered", "Report"),
    "Run": ("Record", "Report"),
    "Type": ("Request", "Settings"),
}


def each(field: str, about: str, meaning: str) -> dict[str, str]:
    """Say the same of a field of each schema that is about one thing."""
    return {f"{about}{schema}.{field}": meaning for schema in _SCHEMAS[about]}


REGISTERED = {
    # Queues
    "queue": "The queue's name here; `default` is the built-in pair.",
    "queues": "All queues, the built-in pair first.",
    "source_queue": "The queue that consumers receive from: its ARN; to register, a name, a URL or"
    " an ARN.",
    **each("dead_letter_queue", "Queue", "The ARN of the queue of its dead messages."),
    "QueueRequest.dead_letter_queue": "The queue of its dead messages: a name, a URL or an ARN.",
    "fifo": "Whether both are FIFO queues.",
    "identity": "JMESPath over {body, attributes, group}: what tells one message from another; a"
    " list of expressions is one too. Without it, or where it selects nothing, the body does.",
    **each("type", "Queue", _EXPRESSION.format("of what type it is, for filters and causes")),
    "group": _EXPRESSION.format("what group a message belongs to, for filters"),
    **each("error", "Queue", _EXPRESSION.format("the class of the error that it died of")),
    "schema": "JSON Schema 2020-12 that a body must fit to be redriven, of 32 KB at most.",
    "unwrap": "What a body may be packed in, from the outside in: `base64`, `gzip` (in base64),"
    " `sns`, `eventbridge`, `s3` (a pointer of the SQS Extended Client, to a bucket that the"
    " template's parameter `RedrivePayloadBucketArns` names). Only for looking: what is inside is"
    " what expressions, schema and filters see.",
    "mask": "Paths into {body, attributes, group}, 20 at most: what is told of them, such as type,"
    " group and reason, is `***` to all but operators, and identity may read none.",
    "max_redrives": "So many redrives a message has before it is quarantined; unset, the"
    " deployment's.",
    "max_age_seconds": "A message older than that is not redriven; unset, any age.",
    "redrive_request": "What a run of this queue is asked for where a request says nothing.",
    "acknowledge_receives": "Take a dead-letter queue with a redrive policy of its own, towards"
    " which each look at a message counts.",
    "source": "How deep the source queue is; null if SQS does not tell.",
    "dead_letters": "How deep the dead-letter queue is; null if SQS does not tell.",
    "warnings": "What may be meant and is strange; empty if nothing is.",
    "problem": "Which of the queues SQS does not tell of, and its error; null if none.",
    # Message types
    "TypeSettings.type": "The type's name, as messages have it.",
    "types": "All message types, the built-in ones first.",
    "function": "The Lambda function that is the effect of each message: its ARN; to register, its"
    " name or ARN. Null of a built-in type.",
    **each("schema", "Type", "JSON Schema 2020-12 that a payload must fit, of 32 KB at most."),
    **each("group", "Type", "JMESPath over the payload: the group, where its sender names none."),
    **each("max_age_seconds", "Type", "A message first sent longer ago is not redriven."),
    "invalid_errors": "Names of the function's errors that no further try can help, beside"
    " `InvalidMessage`.",
}

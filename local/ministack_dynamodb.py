"""Where MiniStack's DynamoDB differs from AWS's: a part of `ministack_quirks`, which see."""

import json
from typing import Any


def patch(dynamodb: Any, stepfunctions: Any) -> None:
    """Change MiniStack's DynamoDB inside its own process, and the tasks that call it."""
    _do_tasks_in_turn(stepfunctions)
    _append_to_lists_as_aws_does(dynamodb)
    _refuse_one_item_twice_as_aws_does(dynamodb)


def _do_tasks_in_turn(stepfunctions: Any) -> None:
    """Let the `dynamodb:*` tasks of state machines take turns with all other requests.

    MiniStack answers requests one after the other, but does these tasks in the execution's thread,
    amid the others: between a condition and its write the item may change, and updates get lost. In
    DynamoDB both are one moment.
    """
    invoke = stepfunctions._invoke_dynamodb

    def invoke_in_turn(operation: str, arguments: Any) -> Any:
        from ministack import app

        async def handle(*_: Any) -> Any:
            return invoke(operation, arguments)

        return app.call_service_handler_sync(handle, "POST", "/", {}, b"", {})

    stepfunctions._invoke_dynamodb = invoke_in_turn


def _append_to_lists_as_aws_does(dynamodb: Any) -> None:
    """Let PartiQL's UPDATE append to a list: `SET "a" = list_append("a", ?)`.

    MiniStack parses it and then calls it unsupported. On AWS it is one of three functions of SET:
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.update.html
    """
    call = dynamodb._pq_call

    def call_or_append(name: str, arguments: list[Any], nodes: list[Any]) -> Any:
        if name != "list_append" or len(arguments) != 2:
            return call(name, arguments, nodes)
        if None in arguments:
            raise ValueError(
                "The provided expression refers to an attribute that does not exist in the item"
            )
        if any(set(argument) != {"L"} for argument in arguments):
            raise ValueError("An operand in the update expression has an incorrect data type")
        return {"L": [element for argument in arguments for element in argument["L"]]}

    dynamodb._pq_call = call_or_append


def _refuse_one_item_twice_as_aws_does(dynamodb: Any) -> None:
    """Refuse a batch of PartiQL statements whole if two of them name one item.

    MiniStack executes them one after the other. Recorded on AWS by others (dynoxide, eu-west-2);
    AWS's documentation says the same of the other batches only.
    """
    execute = dynamodb._batch_execute_statement

    def target(statement: dict[str, Any]) -> str | None:
        try:
            parsed = dynamodb._parse_partiql(statement["Statement"], statement.get("Parameters"))
            table = dynamodb._tables[parsed["table"]]
            names = [name for name in (table["pk_name"], table["sk_name"]) if name]
            item = parsed.get("item") or {
                name: v for name, op, v in parsed["conditions"] if op == "="
            }
            item = item.get("M", item)
            return json.dumps([parsed["table"], [item[name] for name in names]])
        except (KeyError, ValueError):
            return None  # its own answer says so

    def execute_or_refuse(data: Any) -> Any:
        named = [found for found in map(target, data.get("Statements") or []) if found]
        if len(set(named)) < len(named):
            message = "Provided list of item keys contains duplicates"
            return dynamodb.error_response_json("ValidationException", message, 400)
        return execute(data)

    dynamodb._batch_execute_statement = execute_or_refuse

"""Where MiniStack's Lambda differs from AWS's: a part of `ministack_quirks`, which see."""

import re
import threading
import time
from typing import Any

# A handler's own exception reaches MiniStack as this, with the traceback in the log.
_ANY_HANDLER_ERROR = "Runtime.HandlerError"
_NODE_TRACE = re.compile(r'trace: (e(?:rr)?)\.stack(?: \|\| "")?(?=\s*\})')
_EXCEPTION_LINE = re.compile(r"^(?P<name>[A-Za-z_][\w.<>]*)(?::|$)")


def patch(functions: Any, runtime: Any, apigateway: Any) -> None:
    """Change MiniStack's Lambda, and the gateway before it, before they start.

    Args:
        functions: MiniStack's module `lambda_svc`.
        runtime: its module `lambda_runtime`.
        apigateway: its module `apigateway_v1`.
    """
    _name_errors_as_aws_does(functions)
    _keep_workers_as_aws_does(runtime)
    runtime._NODEJS_WORKER_SCRIPT = with_names_of_errors(runtime._NODEJS_WORKER_SCRIPT)
    _answer_failed_lambdas_as_aws_does(apigateway)
    _find_throttles_as_aws_does(apigateway)


def _find_throttles_as_aws_does(apigateway: Any) -> None:
    """Throttle a method by the settings of its path, whose slashes CloudFormation wants as `~1`.

    MiniStack keeps them so, looks for the path as it is, and throttles no login:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-apigateway-stage-methodsetting.html
    """
    find = apigateway._method_throttle_settings

    def find_as_aws_does(stage: dict[str, Any], path: str, method: str) -> Any:
        own = f"/{path.replace('/', '~1')}/{method}"
        return (stage.get("methodSettings") or {}).get(own) or find(stage, path, method)

    apigateway._method_throttle_settings = find_as_aws_does


def _name_errors_as_aws_does(functions: Any) -> None:
    """Let the Catch of a state machine tell one exception of a handler from another.

    MiniStack calls each `Runtime.HandlerError`. AWS names the exception's class.
    """
    execute = functions._execute_function_warm

    def execute_and_name_the_error(*args: Any, **kwargs: Any) -> dict[str, Any]:
        return name_the_error(execute(*args, **kwargs))

    functions._execute_function_warm = execute_and_name_the_error


def _keep_workers_as_aws_does(runtime: Any) -> None:
    """Keep the process of a Lambda whose handler raised.

    MiniStack ends it, so the next call pays for a cold start. AWS ends it only when it timed out or
    died: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
    """
    invoke, signal, collect = runtime.Worker.invoke, runtime._signal, runtime._collect
    call = threading.local()

    def signal_later(process: Any) -> None:
        if getattr(call, "running", False):
            call.process = process
        else:
            signal(process)

    def collect_later(process: Any, deadline: float) -> None:
        if not getattr(call, "running", False):
            collect(process, deadline)

    def invoke_and_keep(worker: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        call.running, call.process = True, None
        try:
            result: dict[str, Any] = invoke(worker, *args, **kwargs)
        finally:
            call.running = False
        process = call.process
        if process is None:
            return result
        if "trace" in result and process.poll() is None:  # only the handler's errors have one
            worker._proc = process
        else:
            signal(process)
            collect(process, time.monotonic() + runtime._REAP_GRACE)
        return result

    runtime.Worker.invoke = invoke_and_keep
    runtime._signal, runtime._collect = signal_later, collect_later


class _LambdaFailed(Exception):
    """An integration's Lambda raised, timed out or died."""


def _answer_failed_lambdas_as_aws_does(apigateway: Any) -> None:
    """Answer 502 through the gateway response `DEFAULT_5XX`, without the text of the exception.

    MiniStack sends the exception's message to the client, past the gateway responses.
    """
    shape = apigateway._lambda_proxy_response
    invoke = apigateway._invoke_lambda_proxy_v1
    render = apigateway._gateway_error_response

    def shape_or_raise(result: Any) -> Any:
        response, error = shape(result)
        if error:
            raise _LambdaFailed
        return response, error

    async def invoke_or_answer(*args: Any, **kwargs: Any) -> Any:
        try:
            return await invoke(*args, **kwargs)
        except _LambdaFailed:
            failure = apigateway._gw_error("DEFAULT_5XX", "Internal server error")
            failure.status = 502
            return failure

    def render_with_status(error: Any, request: Any) -> Any:
        status, headers, body = render(error, request)
        return getattr(error, "status", status), headers, body

    apigateway._lambda_proxy_response = shape_or_raise
    apigateway._invoke_lambda_proxy_v1 = invoke_or_answer
    apigateway._gateway_error_response = render_with_status


def with_names_of_errors(script: str) -> str:
    """Return MiniStack's worker for Node.js so that it tells the name of an error, at the end.

    AWS's errorType is that name, which need not be in the stack: an error may get it later.
    https://github.com/aws/aws-lambda-nodejs-runtime-interface-client/blob/main/src/Errors.js
    """
    return _NODE_TRACE.sub(r"trace: `${\1.stack}\\n${\1.name}: ${\1.message}`", script)


def name_the_error(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result of MiniStack's Lambda worker with AWS's `errorType` in it.

    AWS's is the name of the exception's class without its module, or `Runtime.ExitError` when the
    process ended.
    """
    body = result.get("body")
    if not (result.get("error") and isinstance(body, dict)):
        return result
    if body.get("errorType") != _ANY_HANDLER_ERROR:
        return result
    message = body.get("errorMessage", "")
    if message == "Worker process died":
        return {**result, "body": {**body, "errorType": "Runtime.ExitError"}}
    # The log ends with the traceback, and a traceback with `module.Class: message`, where the
    # message may have several lines: cut it off, and the last line left begins with the class.
    trace = result.get("log", "").rstrip()
    if message and trace.endswith(message.rstrip()):
        trace = trace[: len(trace) - len(message.rstrip())]
    found = _EXCEPTION_LINE.match(trace.rstrip().rpartition("\n")[2])
    if not found:
        return result
    return {**result, "body": {**body, "errorType": found["name"].rpartition(".")[2]}}

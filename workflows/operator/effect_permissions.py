"""Which Lambda functions may be effects: their addresses, and whether the stack may invoke them."""

import re

from botocore.exceptions import ClientError

from workflows.queues.permissions import PermissionMissing, named
from workflows.runtime.aws import functions
from workflows.runtime.refusals import Invalid
from workflows.runtime.settings import settings

ACTION = "lambda:InvokeFunction"
# https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
_NAME = r"[A-Za-z0-9_-]{1,64}(?::[A-Za-z0-9_$-]{1,128})?"
_ARN = re.compile(rf"arn:([a-z-]+):lambda:([a-z0-9-]+):([0-9]{{12}}):function:({_NAME})")


class FunctionMissing(Invalid):
    """There is no such function, or the stack may not see that there is."""

    code = "function_missing"


def arn(text: str) -> str:
    """Return the ARN of a function that is given by its name or ARN, with a version or without.

    Raises:
        ValueError: it is neither, or in another region, where the stack does not call.
    """
    _, partition, _, region, account, *_ = settings().retry_state_machine_arn.split(":")
    if re.fullmatch(_NAME, text):
        return f"arn:{partition}:lambda:{region}:{account}:function:{text}"
    found = _ARN.fullmatch(text)
    if not found:
        raise ValueError("is no name or ARN of a Lambda function")
    if (found[1], found[2]) != (partition, region):
        raise ValueError(f"is in {found[2]}; only functions of {region} are invoked")
    return text


def check(function: str) -> None:
    """Ask Lambda, without any effect, whether the stack may invoke a function by its ARN.

    Raises:
        PermissionMissing: naming the permission.
        FunctionMissing: there is none.
    """
    if not named(function, settings().effect_function_arns):
        raise PermissionMissing(
            f"The template's parameter EffectFunctionArns does not name {function}, so the stack"
            f" lacks {ACTION} on it."
        )
    try:
        functions().invoke(FunctionName=function, InvocationType="DryRun")
    except ClientError as error:
        code = str(error.response["Error"]["Code"])
        if code == "ResourceNotFoundException":
            raise FunctionMissing(f"There is no function {function}.") from None
        if "AccessDenied" in code:
            raise PermissionMissing(f"The stack lacks {ACTION} on {function}.") from None
        raise

// `node nag.mjs TEMPLATE`: prints what cdk-nag's AwsSolutions rules find in a CloudFormation template, as JSON.
import {App, Stack} from "aws-cdk-lib";
import include from "aws-cdk-lib/cloudformation-include";
import {AwsSolutionsChecks} from "cdk-nag";

const app = new App();
new include.CfnInclude(new Stack(app, "stack"), "template", {templateFile: process.argv[2]});
const report = new AwsSolutionsChecks(app).validateScope(app);
console.log(JSON.stringify(report.violations));

module batch-os-provider/tools/pulumi/sdkgen

go 1.25.0

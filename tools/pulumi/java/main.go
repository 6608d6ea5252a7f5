// Command java writes the SDK for Java. Its generator needs an older schema package than those of other languages, so
// it is a module of its own.
package main

import (
	"encoding/json"

	"batch-os-provider/tools/pulumi/sdkgen"

	java "github.com/pulumi/pulumi-java/pkg/codegen/java"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
)

// generate writes the SDK. A warning about the schema is an error, since a released schema has none.
func generate(source []byte) (sdkgen.Files, error) {
	var spec schema.PackageSpec
	if err := json.Unmarshal(source, &spec); err != nil {
		return nil, err
	}
	pkg, warnings, err := schema.BindSpec(spec, nil)
	if err == nil && len(warnings) > 0 {
		err = warnings
	}
	if err != nil {
		return nil, err
	}
	return java.GeneratePackage("sdkgen", pkg, nil)
}

func main() {
	sdkgen.Main(map[string]func([]byte) (sdkgen.Files, error){"java": generate})
}

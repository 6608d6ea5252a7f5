// Command sdkgen writes the SDKs for Node.js, Python and Go by the generators of the CLI that this module pins.
package main

import (
	"encoding/json"

	"batch-os-provider/tools/pulumi/sdkgen"

	golang "github.com/pulumi/pulumi/pkg/v3/codegen/go"
	"github.com/pulumi/pulumi/pkg/v3/codegen/nodejs"
	"github.com/pulumi/pulumi/pkg/v3/codegen/python"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
)

// bind reads the schema. A warning is an error, since a released schema has none.
func bind(source []byte) (*schema.Package, error) {
	var spec schema.PackageSpec
	if err := json.Unmarshal(source, &spec); err != nil {
		return nil, err
	}
	pkg, warnings, err := schema.BindSpec(spec, schema.NewNullLoader(), schema.ValidationOptions{})
	if err == nil && len(warnings) > 0 {
		err = warnings
	}
	return pkg, err
}

// with binds the schema for one generator. Each decodes its own part of the schema in place.
func with(generate func(*schema.Package) (sdkgen.Files, error)) func([]byte) (sdkgen.Files, error) {
	return func(source []byte) (sdkgen.Files, error) {
		pkg, err := bind(source)
		if err != nil {
			return nil, err
		}
		return generate(pkg)
	}
}

func main() {
	sdkgen.Main(map[string]func([]byte) (sdkgen.Files, error){
		"nodejs": with(func(pkg *schema.Package) (sdkgen.Files, error) {
			return nodejs.GeneratePackage("sdkgen", pkg, nil, nil, false, nil)
		}),
		"python": with(func(pkg *schema.Package) (sdkgen.Files, error) {
			return python.GeneratePackage("sdkgen", pkg, nil, nil)
		}),
		"go": with(func(pkg *schema.Package) (sdkgen.Files, error) {
			return golang.GeneratePackage("sdkgen", pkg, nil)
		}),
	})
}

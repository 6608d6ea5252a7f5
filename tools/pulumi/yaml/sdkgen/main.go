// Command sdkgen writes the SDK for .NET. The CLI's own module no longer has this generator; this older one does.
package main

import (
	"bytes"
	"encoding/json"
	"image"
	"image/png"
	"io"
	"net/http"

	"batch-os-provider/tools/pulumi/sdkgen"

	"github.com/pulumi/pulumi/pkg/v3/codegen/dotnet"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
)

// logo answers the generator's request for the package's logo with one grey pixel, so that nothing is fetched.
type logo struct{}

func (logo) RoundTrip(request *http.Request) (*http.Response, error) {
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 1, 1))); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(&picture), Request: request}, nil
}

// generate writes the SDK. A warning about the schema is an error, since a released schema has none.
func generate(source []byte) (sdkgen.Files, error) {
	var spec schema.PackageSpec
	if err := json.Unmarshal(source, &spec); err != nil {
		return nil, err
	}
	pkg, warnings, err := schema.BindSpec(spec, nil, schema.ValidationOptions{})
	if err == nil && len(warnings) > 0 {
		err = warnings
	}
	if err != nil {
		return nil, err
	}
	return dotnet.GeneratePackage("sdkgen", pkg, nil, nil)
}

func main() {
	http.DefaultTransport = logo{}
	sdkgen.Main(map[string]func([]byte) (sdkgen.Files, error){"dotnet": generate})
}

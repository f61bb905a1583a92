// The smallest useful Go function: reads its event from stdin and prints its result as the last line.
package main

import (
	"encoding/json"
	"os"
)

func main() {
	event := struct{ Name string }{"NanoGrid"}
	if err := json.NewDecoder(os.Stdin).Decode(&event); err != nil {
		panic(err)
	}
	json.NewEncoder(os.Stdout).Encode(map[string]any{"statusCode": 200, "body": "Hello, " + event.Name + "!"})
}

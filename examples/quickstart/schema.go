package main

import "encoding/json"

// scheduleSchema is the input of schedule: a nested object with an enumeration
// and bounds. The SDK does not check the input of tools that are added with
// Server.AddTool; the guard does.
var scheduleSchema = json.RawMessage(`{
	"type": "object",
	"properties": {
		"reminder": {
			"type": "object",
			"properties": {
				"title":    {"type": "string", "minLength": 1, "maxLength": 80},
				"priority": {"enum": ["low", "normal", "high"]},
				"minutes":  {"type": "integer", "minimum": 1, "maximum": 1440}
			},
			"required": ["title", "priority", "minutes"],
			"additionalProperties": false
		}
	},
	"required": ["reminder"],
	"additionalProperties": false
}`)
